#ifndef FORETOKEN_BASE_MACROS_H_
#define FORETOKEN_BASE_MACROS_H_

#include <utility>

#include "foretoken/status.h"

#define FORETOKEN_CONCAT_INNER(a, b) a##b
#define FORETOKEN_CONCAT(a, b) FORETOKEN_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expression` (a Status) is not OK.
#define FORETOKEN_RETURN_IF_ERROR(expression)            \
  do {                                                   \
    ::foretoken::Status foretoken_status = (expression); \
    if (!foretoken_status.ok()) return foretoken_status; \
  } while (false)

// `FORETOKEN_ASSIGN_OR_RETURN(auto x, F())`: takes the value of a Result or returns its Status.
#define FORETOKEN_ASSIGN_OR_RETURN(target, expression)                                    \
  FORETOKEN_ASSIGN_OR_RETURN_INNER(FORETOKEN_CONCAT(foretoken_result_, __LINE__), target, \
                                   expression)
#define FORETOKEN_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                        \
  if (!result.ok()) return result.status();                          \
  target = std::move(result).value()

#endif  // FORETOKEN_BASE_MACROS_H_
