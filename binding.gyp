{
  # For hosts that build with node-gyp; the usual build is native/CMakeLists.txt by cmake-js.
  "targets": [
    {
      "target_name": "volant_native",
      "sources": [
        "native/addon/addon.cc",
        "native/addon/address.cc",
        "native/addon/bridge.cc",
        "native/addon/errno_error.cc",
        "native/addon/exit_watcher.cc",
        "native/addon/flows.cc",
        "native/addon/host.cc",
        "native/addon/link.cc",
        "native/addon/links.cc",
        "native/addon/netlink.cc",
        "native/addon/network_changes.cc",
        "native/addon/process.cc",
        "native/addon/sandbox.cc",
        "native/addon/tap.cc",
        "native/addon/vfio.cc",
        "native/addon/view_template.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++17"],
      "cflags_cc": ["-std=gnu++20", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    }
  ]
}
