// addon: makes the namespaces that all sandboxes start from. (mount_namespaces(7), pivot_root(2))
#include "view_template.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <memory>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>

#include "unique_fd.h"

namespace volant {

namespace {

/** The directories of programs, libraries and firmware. On current systems all except the first are links into the first. */
constexpr const char* kProgramDirectories[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

/** Tells the loader where libraries outside its own directories are. */
constexpr const char* kLoaderCache = "/etc/ld.so.cache";

/** A flag of umount2(2) that the kernel's headers lack. */
constexpr int kDetach = 2;

/** A directory that every root has. The template is built there before it becomes the root. */
constexpr const char* kScaffold = "/proc";

struct Source {
  const char* path;
  UniqueFd tree;
};

bool Failed(ChildFailure* failure, const char* step, const char* subject) {
  *failure = {step, subject, errno};
  return false;
}

/** Makes a read-only copy of a mount, which later changes of the host's mounts do not affect. */
bool CopyReadOnly(const char* path, std::vector<Source>* sources, ChildFailure* failure) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path, flags)));
  if (!tree) return Failed(failure, "open_tree", path);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attributes.propagation = MS_PRIVATE;
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                sizeof(attributes)) < 0) {
    return Failed(failure, "mount_setattr", path);
  }
  sources->push_back({path, std::move(tree)});
  return true;
}

/** Takes over the host's directories of programs: directories are copied, links stay links. */
bool FindSources(ViewTemplate* made, std::vector<Source>* sources, ChildFailure* failure) {
  for (const char* path : kProgramDirectories) {
    struct stat facts {};
    if (::lstat(path, &facts) < 0) continue;
    if (S_ISLNK(facts.st_mode)) {
      char target[PATH_MAX];
      const ssize_t length = ::readlink(path, target, sizeof(target));
      if (length < 0) return Failed(failure, "readlink", path);
      made->links.push_back({std::string(target, length), std::string(kViewRoot) + path});
      continue;
    }
    if (!S_ISDIR(facts.st_mode)) continue;
    if (!CopyReadOnly(path, sources, failure)) return false;
    made->mounts.emplace_back(path);
    made->directories.push_back(std::string(kViewRoot) + path);
  }
  if (::access(kLoaderCache, R_OK) < 0) return true;
  if (!CopyReadOnly(kLoaderCache, sources, failure)) return false;
  made->mounts.emplace_back(kLoaderCache);
  made->directories.push_back(std::string(kViewRoot) + "/etc");
  made->files.push_back(std::string(kViewRoot) + kLoaderCache);
  return true;
}

bool OpenNamespaces(ViewTemplate* made, ChildFailure* failure) {
  const auto open = [&](const char* path, int* fd) {
    *fd = ::open(path, O_RDONLY | O_CLOEXEC);
    return *fd >= 0 || Failed(failure, "open", path);
  };
  return open("/proc/thread-self/ns/mnt", &made->mount) && open("/proc/thread-self/ns/net", &made->network) &&
         open("/proc/thread-self/ns/ipc", &made->ipc);
}

bool Mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data,
           ChildFailure* failure) {
  return ::syscall(SYS_mount, source, target, type, flags, data) == 0 || Failed(failure, "mount", target);
}

/** Builds the new root in the working directory. */
bool Furnish(const std::vector<Source>& sources, ChildFailure* failure) {
  if (::mkdir("view", 0755) < 0 || ::mkdir("etc", 0755) < 0) return Failed(failure, "mkdir", kViewRoot);
  for (const Source& source : sources) {
    const char* target = source.path + 1;
    const bool is_file = std::string_view(source.path) == kLoaderCache;
    const int made = is_file ? ::mknod(target, S_IFREG | 0644, 0) : ::mkdir(target, 0755);
    if (made < 0) return Failed(failure, "mkdir", source.path);
    if (::syscall(SYS_move_mount, source.tree.get(), "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
      return Failed(failure, "move_mount", source.path);
    }
  }
  return true;
}

/** Makes the working directory, which must be a mount, the root of the namespace. */
bool BecomeRoot(ChildFailure* failure) {
  if (::syscall(SYS_pivot_root, ".", ".") == 0) {
    // The old root is mounted over the new one. It is unmounted, so no file of the host is left.
    return ::syscall(SYS_umount2, ".", kDetach) == 0 || Failed(failure, "umount2", "");
  }
  if (errno != EINVAL) return Failed(failure, "pivot_root", "");
  // The root cannot be moved away from an initramfs (ramfs-rootfs-initramfs.rst). The new root is mounted over it, and a
  // process that enters the namespace sees the upper one. The lower one cannot be reached.
  return Mount(".", "/", nullptr, MS_MOVE, nullptr, failure) &&
         (::chroot(".") == 0 || Failed(failure, "chroot", ""));
}

/** Runs on a thread of its own, because `unshare` changes the namespaces of the calling thread. */
bool Build(ViewTemplate* made, std::vector<Source>* sources, ChildFailure* failure) {
  if (!FindSources(made, sources, failure)) return false;
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0) return Failed(failure, "unshare", "");
  if (!OpenNamespaces(made, failure)) return false;
  // In a chroot the root directory is no mount. This changes to the root of the namespace, which is one.
  if (::setns(made->mount, CLONE_NEWNS) < 0) return Failed(failure, "setns", "");
  if (!Mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr, failure)) return false;
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (!Mount("volant", kScaffold, "ramfs", flags, "mode=0755", failure)) return false;
  if (::chdir(kScaffold) < 0) return Failed(failure, "chdir", kScaffold);
  if (!Furnish(*sources, failure)) return false;
  return BecomeRoot(failure);
}

}  // namespace

const ViewTemplate* TemplateOfViews(ChildFailure* failure) {
  static std::mutex mutex;
  static std::unique_ptr<const ViewTemplate> ready;
  const std::lock_guard<std::mutex> lock(mutex);
  if (ready != nullptr) return ready.get();
  auto made = std::make_unique<ViewTemplate>();
  bool built = false;
  std::vector<Source> sources;
  try {
    std::thread([&] { built = Build(made.get(), &sources, failure); }).join();
  } catch (const std::system_error& error) {
    *failure = {"clone", "", error.code().value()};
  }
  if (built) {
    ready = std::move(made);
    return ready.get();
  }
  for (const int fd : {made->mount, made->network, made->ipc}) {
    if (fd >= 0) ::close(fd);
  }
  return nullptr;
}

}  // namespace volant
