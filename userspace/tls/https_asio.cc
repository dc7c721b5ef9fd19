// SPDX-License-Identifier: Apache-2.0
// The one place where Asio's own code for TLS is compiled (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/ssl/impl/src.hpp>
