# SPDX-License-Identifier: LGPL-2.1-or-later
#
# xen_test(NAME SCRIPT file [INSTALLED] [TARGETS program...] [FILES file...] [SECONDS n])
#
# Adds tests NAME-4.17 and NAME-4.20: ./boot runs the script in dom0 of that Xen. Beside the script are dom0.sh,
# the guests' kernels, xen-guest-tool, and what TARGETS and FILES name. With INSTALLED, all that `cmake --install`
# installs is in its place in dom0. SECONDS is how long the script may take before it is taken to hang, 300 if not given:
# several times of what it needs.
#
# A sanitized program cannot run in dom0: in a sanitized build there are no such tests.

set(XEN_TEST_DIR ${CMAKE_CURRENT_LIST_DIR})

function(xen_test name)
  cmake_parse_arguments(ARG "INSTALLED" "SCRIPT;SECONDS" "TARGETS;FILES" ${ARGN})
  if(XENVRAM_SANITIZE)
    return()
  endif()
  if(NOT ARG_SECONDS)
    set(ARG_SECONDS 300)
  endif()

  set(build_dir ${CMAKE_BINARY_DIR}/tests/xen)
  set(payload ${build_dir}/guest.elf ${build_dir}/pv.elf ${ARG_FILES})
  foreach(target xen-guest-tool ${ARG_TARGETS})
    list(APPEND payload $<TARGET_FILE:${target}>)
  endforeach()
  set(tree)
  if(ARG_INSTALLED)
    set(tree -r ${build_dir}/installed)
  endif()

  # Fetching and building the images, once, comes on top of the script's time.
  math(EXPR timeout "${ARG_SECONDS} + 200")
  foreach(version 4.17 4.20)
    add_test(NAME ${name}-${version}
      COMMAND ${XEN_TEST_DIR}/boot -t ${ARG_SECONDS} -l ${build_dir}/${name}-${version}.log ${tree}
        ${version} ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SCRIPT} ${payload})
    set_tests_properties(${name}-${version} PROPERTIES
      LABELS xen
      TIMEOUT ${timeout}
      SKIP_RETURN_CODE 77
      PROCESSORS 2)
    if(ARG_INSTALLED)
      set_tests_properties(${name}-${version} PROPERTIES FIXTURES_REQUIRED xen-installed)
    endif()
  endforeach()
endfunction()
