// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/system/error_code.hpp>

#include "absl/strings/string_view.h"
#include "server/answer.h"
#include "server/request.h"

// From Beast's parser to what the server goes by. Pure functions.
namespace tombolo::ca::https {

using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

// The resource of a request, if it is one of ours and has been read that far.
std::optional<Target> TargetOf(const Parser& parser);

// What is wrong with a request before anybody looks at its body or its caller; nullopt when nothing
// is. `error` is what reading the header has ended with.
std::optional<Answer> CheckHeader(const Parser& parser, const boost::system::error_code& error);

// The same for what reading the body has ended with.
std::optional<Answer> CheckBody(const boost::system::error_code& error);

// A fault of the message gets an answer; one of the connection does not.
bool IsFaultOfMessage(const boost::system::error_code& error);

// Whether the client waits for 100 (Continue) before it sends the body.
bool ExpectsContinue(const Parser& parser);

// Whether the connection may go on when this has been answered: the next request begins where this
// one ends.
bool MayGoOn(const Parser& parser);

}  // namespace tombolo::ca::https
