{
  # For hosts that build with node-gyp; the usual build is native/CMakeLists.txt by cmake-js.
  # Both read the list of sources from native/addon/sources.txt.
  "targets": [
    {
      "target_name": "volant_native",
      "sources": ["<!@(sed 's|^|native/addon/|' native/addon/sources.txt)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++17"],
      "cflags_cc": ["-std=gnu++20", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fstack-protector-strong"]
    }
  ]
}
