# SPDX-License-Identifier: Apache-2.0
# add_bpf_object(<name> <source>)
#
# Compiles <source>, relative to the repository's bpf/, for the BPF target and
# generates <name>.skel.h in the calling directory's build tree. Defines the
# interface library <name>_skel; link it to include "<name>.skel.h" and the
# shared "abi/..." headers. The compiler writes a depfile, so editing any
# included header rebuilds. Tested with clang 16; -mcpu=v3 is
# what Linux 6.1 runs.
find_program(BPF_CLANG NAMES clang-16 clang-19 clang-18 clang-17 REQUIRED)
find_program(BPFTOOL NAMES bpftool REQUIRED)

function(add_bpf_object name source)
  set(src ${PROJECT_SOURCE_DIR}/bpf/${source})
  set(obj ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skel ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)

  add_custom_command(
    OUTPUT ${obj}
    COMMAND ${BPF_CLANG} -g -O2 -Wall -Werror -target bpf -mcpu=v3
            -isystem /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -I ${PROJECT_SOURCE_DIR}/bpf/include -I ${PROJECT_SOURCE_DIR}/bpf
            -MD -MF ${obj}.d -MT ${obj} -c ${src} -o ${obj}
    DEPENDS ${src}
    DEPFILE ${obj}.d
    VERBATIM)
  add_custom_command(
    OUTPUT ${skel}
    COMMAND ${BPFTOOL} gen skeleton ${obj} name ${name} > ${skel}
    DEPENDS ${obj}
    VERBATIM)

  add_custom_target(${name}_skel_gen DEPENDS ${skel})
  add_library(${name}_skel INTERFACE)
  add_dependencies(${name}_skel ${name}_skel_gen)
  target_include_directories(${name}_skel SYSTEM INTERFACE
                             ${CMAKE_CURRENT_BINARY_DIR})
  target_include_directories(${name}_skel INTERFACE ${PROJECT_SOURCE_DIR}/bpf/include)
  target_link_libraries(${name}_skel INTERFACE PkgConfig::libbpf)
endfunction()
