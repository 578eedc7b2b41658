# foretoken_embed_file(<text file> <constant> <source>)
# Writes generated/<source> in the build tree, which compiles the file into `const char <constant>[]`
# in namespace foretoken, so that an installed binary needs no data file.
function(foretoken_embed_file file FORETOKEN_EMBEDDED_CONSTANT source)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} FORETOKEN_EMBEDDED_TEXT)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/embedded_file.cc.in
    ${PROJECT_BINARY_DIR}/generated/${source} @ONLY)
endfunction()
