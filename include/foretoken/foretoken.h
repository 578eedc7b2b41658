#ifndef FORETOKEN_FORETOKEN_H_
#define FORETOKEN_FORETOKEN_H_

// The whole public interface.
#include "foretoken/generation.h"
#include "foretoken/metrics.h"
#include "foretoken/options.h"
#include "foretoken/reply_parser.h"
#include "foretoken/runtime_manager.h"
#include "foretoken/status.h"

#endif  // FORETOKEN_FORETOKEN_H_
