/* tls_none.c: a build without TLS.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tls.h"

const lssb_tls_backend *const lssb_default_tls = NULL;
