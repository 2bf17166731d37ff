// guest: file systems that are no disk: their files have no size, and their directories no end.
#include "files/kernel_files.h"

#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

#define MQUEUE_MAGIC 0x19800202
#define CONFIGFS_MAGIC 0x62656570

bool kernel_files_are_at(int fd) {
  static const unsigned long kinds[] = {
      PROC_SUPER_MAGIC, SYSFS_MAGIC,  CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC,
      TRACEFS_MAGIC,    SECURITYFS_MAGIC, BPF_FS_MAGIC,   MQUEUE_MAGIC,        CONFIGFS_MAGIC};
  struct statfs facts;
  if (fstatfs(fd, &facts) < 0) return false;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if ((unsigned long)facts.f_type == kinds[i]) return true;
  }
  return false;
}
