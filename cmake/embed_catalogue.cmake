# Compiles models/catalogue.json into the library, so that an installed binary needs no data file.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/models/catalogue.json)
file(READ ${PROJECT_SOURCE_DIR}/models/catalogue.json FORETOKEN_CATALOGUE_JSON)
configure_file(${PROJECT_SOURCE_DIR}/cmake/embedded_catalogue.cc.in
  ${PROJECT_BINARY_DIR}/generated/embedded_catalogue.cc @ONLY)
