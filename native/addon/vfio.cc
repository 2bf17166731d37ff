// addon: checks whether the kernel would give a VFIO group to a hypervisor, with the same requests. Nothing stays open.
// (linux/vfio.h; Documentation/driver-api/vfio.rst)
#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string>

#include "errno_error.h"
#include "exports.h"
#include "unique_fd.h"

namespace volant {

namespace {

constexpr const char* kContainerPath = "/dev/vfio/vfio";

UniqueFd Open(Napi::Env env, const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) throw ErrnoError(env, errno, "open", path);
  return file;
}

/** Opens a container with the API version of this file and the mappings that hypervisors use. */
UniqueFd OpenContainer(Napi::Env env) {
  UniqueFd container = Open(env, kContainerPath);
  // SAFETY: container is open and owned here; neither request has an argument that is a pointer.
  if (::ioctl(container.get(), VFIO_GET_API_VERSION) != VFIO_API_VERSION) {
    throw ErrnoError(env, EPROTO, "ioctl(VFIO_GET_API_VERSION)", kContainerPath);
  }
  if (::ioctl(container.get(), VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) {
    throw ErrnoError(env, ENOTSUP, "ioctl(VFIO_CHECK_EXTENSION)", kContainerPath);
  }
  return container;
}

void RequireViable(Napi::Env env, int group, const std::string& path) {
  vfio_group_status status{};
  status.argsz = sizeof(status);
  // SAFETY: group is open and owned by the caller; status is as large as it says and outlives the call.
  if (::ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0) {
    throw ErrnoError(env, errno, "ioctl(VFIO_GROUP_GET_STATUS)", path);
  }
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    throw ErrnoError(env, EPERM, "ioctl(VFIO_GROUP_GET_STATUS)", path);
  }
}

}  // namespace

Napi::Value VfioProbeGroup(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsString()) throw UsageError(env, "vfioProbeGroup(path: string)");
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  // They are closed in the reverse order, so the group leaves the container before the container ends.
  UniqueFd container = OpenContainer(env);
  UniqueFd group = Open(env, path);
  RequireViable(env, group.get(), path);
  int container_fd = container.get();
  // SAFETY: both descriptors are open and owned here; container_fd outlives the call.
  if (::ioctl(group.get(), VFIO_GROUP_SET_CONTAINER, &container_fd) < 0) {
    throw ErrnoError(env, errno, "ioctl(VFIO_GROUP_SET_CONTAINER)", path);
  }
  if (::ioctl(container.get(), VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
    throw ErrnoError(env, errno, "ioctl(VFIO_SET_IOMMU)", path);
  }
  return env.Undefined();
}

}  // namespace volant
