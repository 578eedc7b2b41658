#ifndef FORETOKEN_SERVER_OPENAPI_DOCUMENT_H_
#define FORETOKEN_SERVER_OPENAPI_DOCUMENT_H_

#include <string_view>

namespace foretoken {

// The OpenAPI 3.1 document of the tenants' API, JSON: openapi.json beside this file.
std::string_view OpenApiDocument();

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAPI_DOCUMENT_H_
