# tombolo_module(<name> SOURCES <files>... HEADERS <files>... [PUBLIC <targets>...] [PRIVATE <targets>...])
#
# One static library per module. Files are relative to the calling directory;
# headers are verified to be self-contained by the target
# all_verify_interface_header_sets.
function(tombolo_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_sources(${name} PUBLIC FILE_SET HEADERS
                 BASE_DIRS ${TOMBOLO_INCLUDE_ROOTS} FILES ${ARG_HEADERS})
  target_include_directories(${name} PUBLIC ${TOMBOLO_INCLUDE_ROOTS})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# tombolo_test(<name> LABEL <label> SOURCES <files>... LIBS <targets>...)
#
# One GoogleTest program, registered with ctest as one test.
function(tombolo_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
