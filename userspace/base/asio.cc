// SPDX-License-Identifier: Apache-2.0
// The one place where Asio's own code is compiled (BOOST_ASIO_SEPARATE_COMPILATION).
#include "base/asio.h"

#include <boost/asio/impl/src.hpp>
