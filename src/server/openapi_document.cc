#include "server/openapi_document.h"

namespace foretoken {

extern const char kEmbeddedOpenApi[];  // of the build: cmake/embed_file.cmake

std::string_view OpenApiDocument() {
  return kEmbeddedOpenApi;
}

}  // namespace foretoken
