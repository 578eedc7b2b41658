# The installed form: one shared library of all layers with llama.cpp inside and hidden, the public
# headers, a CMake package, the executables and the licences (docs/decisions/0002).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# The layers' objects, all of them; the archives are linked as well for what they depend on.
get_property(layers GLOBAL PROPERTY FORETOKEN_LAYER_TARGETS)
list(TRANSFORM layers REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
add_library(foretoken_shared SHARED ${objects})
target_link_libraries(foretoken_shared PRIVATE ${layers})
set(version_script ${PROJECT_SOURCE_DIR}/cmake/libforetoken.map)
set_target_properties(foretoken_shared PROPERTIES
  OUTPUT_NAME foretoken
  EXPORT_NAME foretoken
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINK_DEPENDS ${version_script})
target_link_options(foretoken_shared PRIVATE LINKER:--version-script=${version_script} LINKER:-z,defs)
target_compile_features(foretoken_shared INTERFACE cxx_std_20)
target_include_directories(foretoken_shared INTERFACE $<INSTALL_INTERFACE:include>)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/foretoken)
install(TARGETS foretoken_shared EXPORT foretoken LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT foretoken NAMESPACE foretoken:: FILE foretokenConfig.cmake
        DESTINATION ${package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/foretokenConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/foretokenConfigVersion.cmake DESTINATION ${package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/foretoken DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

if(TARGET foretoken)
  install(TARGETS foretoken RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET foretoken_probe)
  install(TARGETS foretoken_probe RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/foretoken)
endif()

set(licence_dir ${CMAKE_INSTALL_DATADIR}/doc/foretoken)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${licence_dir})
install(FILES ${llama_cpp_source}/LICENSE DESTINATION ${licence_dir} RENAME LICENSE.llama.cpp)
install(FILES ${llama_cpp_source}/licenses/LICENSE-jsonhpp DESTINATION ${licence_dir}
        RENAME LICENSE.nlohmann-json)
install(FILES ${llama_cpp_source}/vendor/cpp-httplib/LICENSE DESTINATION ${licence_dir}
        RENAME LICENSE.cpp-httplib)
