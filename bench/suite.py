# SPDX-License-Identifier: Apache-2.0
"""What the programs share: subjects in turn, rounds, results.

A program is a module with QUESTION, SUBJECTS and measure(run).
"""
import statistics
import sys
from dataclasses import dataclass, field

import measure
import session as sessions


@dataclass
class Results:
    """The values of every round, by what they belong to."""
    values: dict = field(default_factory=dict)
    samples: list = field(default_factory=list)

    def add(self, question, subject, parameters, metrics, raw):
        """One round of one subject. `metrics` is {metric: (value, unit)}."""
        for metric, (value, unit) in metrics.items():
            key = (question, subject, tuple(parameters.items()), metric, unit)
            self.values.setdefault(key, []).append(value)
        self.samples.append({"question": question, "subject": subject,
                             "parameters": parameters} | raw)

    def objects(self):
        """What --json writes: `rounds` has the values that the median is of, in order."""
        return [{"question": question, "subject": subject, "parameters": dict(parameters),
                 "metric": metric, "unit": unit, "median": statistics.median(values),
                 "min": min(values), "max": max(values), "rounds": values}
                for (question, subject, parameters, metric, unit), values in self.values.items()]


@dataclass
class Run:
    """What measure(run) gets: one program's part of a run of the suite."""
    question: str
    session: sessions.Session
    results: Results
    names: list  # of the subjects
    options: object

    def rows(self, rows):
        """Those that are wanted, each a dictionary of parameters."""
        return [row for row in rows if self.options.only in label(self.question, row)]

    def in_turn(self, rows, rounds=None):
        """(round, row, subject) in an order in which a slow minute of the machine meets all of
        them: the subjects one after another, another first in each round."""
        rounds = rounds or self.options.rounds
        for number in range(rounds):
            for row in rows:
                turn = number % len(self.names)
                for name in self.names[turn:] + self.names[:turn]:
                    yield number + 1, row, self.session.subject(name)
            print(f"{self.question}: round {number + 1} of {rounds}",
                  file=sys.stderr, flush=True)

    def load(self, rows, make, warm_up=0.1, seconds=None):
        """Measures rows of loads. make(row) is the Load."""
        seconds = seconds or self.options.seconds
        for name in self.names:
            self.session.subject(name)
        for number, row, subject in self.in_turn(rows):
            load = make(row)
            measure.warm_up(subject, load, warm_up)
            taken = measure.sample(subject, load, seconds)
            # stunnel has a thread for each connection.
            metrics = measure.metrics(load, taken, subject.name.startswith("stunnel"))
            self.results.add(self.question, subject.name, row, metrics, {"round": number} | taken)


def label(question, parameters):
    """A row's name, for people and for --only."""
    return ", ".join([question.replace("_", " "),
                      *(f"{name.replace('_', ' ')} {value}" for name, value in parameters.items())])
