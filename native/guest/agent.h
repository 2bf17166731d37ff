// guest: what the parts of the agent share. The agent is PID 1 of a guest, or a process beside the init of
// a root disk: one process, one thread, one event loop; everything it keeps has a bound.
#ifndef VOLANT_AGENT_H
#define VOLANT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "manifest_limits.h"

#define AGENT_VERSION "0.1.0"
#define AGENT_PORT_NAME "volant.agent"
#define HTTP_PORT 8080

// ---- loop.c: one epoll, timers, nothing else

typedef void (*fd_callback)(void *context, uint32_t events);
typedef void (*timer_callback)(void *context);

struct source {
  int fd;
  uint32_t events;
  fd_callback callback;
  void *context;
};

void loop_init(void);
// Watches source->fd; the caller keeps the source alive until loop_remove.
void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context);
// Without events nothing is reported, not even a hang-up.
void loop_change(struct source *source, uint32_t events);
// Safe from within a callback: what is already reported for a removed source is not delivered.
void loop_remove(struct source *source);
// Calls back once after delay_ms; a second call for the same callback and context replaces the first.
void loop_timer(int delay_ms, timer_callback callback, void *context);
void loop_cancel(timer_callback callback, void *context);
void loop_run(void) __attribute__((noreturn));
int64_t now_ms(void);

// ---- clock.c

// What is wrong with the guest's clock, or NULL: whether a timer fires on each processor, and whether one has a clock
// event device below root (of sysfs). Takes some 20 ms; needs no timer for its own end.
const char *clock_fault(const char *root);
// Ends the machine at once, so that the daemon learns of the fault by the exit status of the hypervisor.
void clock_end_guest(const char *fault);

// ---- util.c

// To the console, with the agent's name in front. For what a person at the console should know.
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The whole file into a buffer of the caller's, closed with a NUL. Bytes read, or -1.
ssize_t read_file(const char *path, char *buffer, size_t size);
bool write_file(const char *path, const char *text);
void set_nonblocking(int fd);
// RFC 3339 in UTC with milliseconds.
void format_time(char *buffer, size_t size);
// Bytes of the character of UTF-8 that begins here; 0 when none does.
size_t utf8_length(const char *text, size_t left);
// The length without the beginning of a character at the end whose rest is not there.
size_t utf8_whole(const char *text, size_t length);
// Appends JSON string content (without the quotes) to a bounded buffer; returns the new length. What is
// not UTF-8 becomes U+FFFD.
size_t json_escape(char *buffer, size_t size, size_t length, const char *text, size_t text_length);

// ---- cmdline.c: /proc/cmdline

void cmdline_load(void);
// Parses a text instead; for tests.
void cmdline_parse(const char *text);
// The value of the first `key=value`, or NULL. Lives as long as the program.
const char *cmdline_value(const char *key);
// Whether it has an argument that is just this word.
bool cmdline_has(const char *word);

// ---- codec.c: the form of volant.manifest

// base64url without padding. Length of the result in a new buffer, or -1 when it is malformed.
ssize_t base64url_decode(const char *text, unsigned char **result);
// gzip (RFC 1952, RFC 1951). Length of the result, closed with a NUL, or -1. At most max bytes.
ssize_t gunzip(const unsigned char *data, size_t length, size_t max, char **result);

// ---- json.c

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
  enum json_type type;
  double number;  // JSON_NUMBER, JSON_BOOL (0 or 1)
  char *string;   // JSON_STRING, UTF-8
  char *name;     // when a member of an object
  struct json *child;
  struct json *next;
};

// NULL when the text is not JSON, too deep or too large.
struct json *json_parse(const char *text);
void json_free(struct json *value);
const struct json *json_member(const struct json *object, const char *name);
const char *json_text(const struct json *object, const char *name, const char *fallback);

// ---- manifest.c

// PATH, HOME and TERM have values of their own where the manifest has none.
#define STANDARD_VARIABLES 3

// How the workload is checked. CHECK_LISTEN is meant where the manifest says nothing: its port must listen.
enum check_type { CHECK_NONE, CHECK_LISTEN, CHECK_HTTP, CHECK_TCP, CHECK_EXEC };

struct check {
  enum check_type type;
  const char *wrong;     // why it cannot be asked, or NULL
  const char *endpoint;  // of CHECK_HTTP
  uint16_t port;         // 0 when it is not known
  char *command[HEALTH_COMMAND_ARGUMENTS_MAX + 1];
  // start_ms: so long it may fail before that counts. retries: so many must fail in a row.
  int start_ms, interval_ms, timeout_ms, retries;
};

// What a manifest says of its workload; texts belong to the manifest, but for those of variables.
struct program {
  char *arguments[ARGUMENTS_MAX + 1];
  char *variables[VARIABLES_MAX + STANDARD_VARIABLES + 1];
  const char *directory;
  struct check check;
  char host[16];
  char prefix[BASE_URL_PATH_BYTES_MAX + 1];
  uint16_t port;  // 0 when it is not known
};

// NULL when it can be started, else what is wrong.
const char *program_take(struct program *program, const struct json *manifest);
// Only where it is asked, for what an own init runs. false when that cannot be used.
bool program_take_address(struct program *program, const struct json *manifest);

// What a request line takes as a part of its target.
bool is_visible_text(const char *text);

// ---- check.c

extern const char *const check_names[];
// `base_port` is that of base_url, which is meant where the check says none.
void check_take(struct check *check, const struct json *manifest, uint16_t base_port);

// ---- launch.c

#define LAUNCH_FAILURE_BYTES 160

// In a new process: becomes the program. Where it cannot, a sentence goes to `report` before the process ends.
void launch_child(const struct program *program, int out, int err, int report) __attribute__((noreturn));
// Processes that a workload has left running outside of its group, for example as a daemon.
unsigned launch_left_behind(pid_t group);
// How often the guest's kernel has killed for want of memory; 0 where that is not known.
unsigned long launch_memory_kills(void);

// ---- output.c: what the workload prints

// Takes over the reading ends of its pipes.
void outputs_open(int out, int err);
// Its last words, before its end is told. At most what a pipe holds: others may still write to it.
void outputs_read_rest(void);

// ---- logring.c: the newest lines of the workload

struct log_line {
  uint64_t number;
  const char *stream;
  char time[32];
  uint16_t length;
  char text[];
};

void log_append(const char *stream, const char *text, size_t length);
// The first line whose number is at least `number`, or NULL. Valid until the next append.
const struct log_line *log_from(uint64_t number);
// The number that the next line will get.
uint64_t log_next(void);
// The number from which `count` lines are left.
uint64_t log_tail(uint64_t count);

// ---- workload.c

// Takes over a manifest. false when there is one already; a malformed one is a failed workload.
bool workload_set_manifest(const char *json_text);
void workload_fail(const char *why);
// Fails for good: a manifest that comes later is not run.
void workload_give_up(const char *why);
// The guest's own init runs what there is to run; a manifest only says where it listens.
void workload_set_external(void);
void workload_wait_for_manifest(void);
void workload_child_ended(pid_t pid, int status);
// SIGTERM to its group; calls back when it has ended or the time is over, SIGKILL then.
void workload_stop(int timeout_ms, timer_callback done);
// A stop that is under way has so long from now on.
void workload_stop_within(int timeout_ms);
// A buffer for what describes it.
#define WORKLOAD_BYTES_MAX 10240
// JSON object that describes it. Returns the length.
size_t workload_describe(char *buffer, size_t size);
// Host and port of base_url; false when there is none.
bool workload_address(const char **host, uint16_t *port, const char **prefix);

// ---- report.c

// Each adds a member to a JSON object in a buffer that has room for it, and returns the new length.
size_t report_text(char *buffer, size_t size, size_t length, const char *name, const char *text);
// What is negative is left out.
size_t report_number(char *buffer, size_t size, size_t length, const char *name, int number);
// The last lines from `first` to before `end`, as far as they are kept; each with at most 160 bytes.
size_t report_lines(char *buffer, size_t size, size_t length, uint64_t first, uint64_t end);

// ---- health.c

#define HEALTH_FAILURE_BYTES 224

// NULL is success, else why not.
typedef void (*health_callback)(const char *failure);
// Looks as its check says. Calls back once, unless one is under way already. The program must live until then.
void health_probe(const struct program *program, health_callback done);
// What is under way counts no more.
void health_abandon(void);
void health_child_ended(pid_t pid, int status);
// The group of a command that is under way, else 0.
pid_t health_group(void);

// ---- http.c, relay.c

void http_listen(void);
// Serves one connection. A trusted one came over the channel and may use /agent/*.
void http_serve(int fd, bool trusted);
// Wakes the readers of the log stream.
void http_log_grew(void);

// ---- channel.c: streams over the virtio-serial port

void channel_open(void);
// Tells a host that is connected that the workload has changed: it may ask.
void channel_tell_news(void);

// ---- network.c

#define NAME_SERVERS_MAX 3

// Dotted quads, each empty when there is none.
struct network {
  char address[16], mask[16], gateway[16], name_servers[NAME_SERVERS_MAX][16];
};

// Host name, and address and route as the command line says; a lease is waited for, within a bound.
void network_setup(void);
// Gives these to a device, or takes them away when `network` is NULL.
void network_apply(const char *device, const struct network *network);
// /etc/hosts and /etc/resolv.conf.
void network_write_files(void);
// Dotted quad of the address, empty without one.
const char *network_address(void);

// ---- dhcp.c

// Asks for a lease for a device that is up, and waits for it within a bound; then keeps it, or keeps asking.
void dhcp_start(const char *device, const char *hostname);
// Gives the lease back. Without one nothing happens.
void dhcp_release(void);

// ---- environment.c

// What only PID 1 makes for all programs of the guest; what is there already stays.
void environment_make(void);
// The agent is the last that the kernel takes when memory is short. What it starts would inherit that.
void environment_protect_agent(void);
// In the process that becomes the workload.
void environment_of_workload(void);

// ---- filesystem.c

struct mount_options {
  const char *type;  // NULL: as the superblock says
  bool readonly;
};

// The type of the file system on a device, or NULL and why.
const char *filesystem_probe(const char *device, char *why, size_t size);
// A device that is read-only is mounted so. false, and why, when it cannot be mounted.
bool filesystem_mount(const char *device, const char *target, const struct mount_options *options,
                      char *why, size_t size);
// A directory and those above it. false, with errno, when it is not there afterwards.
bool make_directories(const char *path);
// Makes all that is mounted from disks read-only, so that nothing is left to repair.
void filesystem_release(void);

// ---- disks.c

// `why` is NULL when all went well.
typedef void (*disks_callback)(const char *why);
// Mounts what a list of the manifest says; calls back once, at once or when the disks have appeared.
// The list must live until then.
void disks_mount(const struct json *mounts, disks_callback done);
// Stands still until disks_mount has called back. For the boot only.
void disks_wait(void);
// Makes the links in /dev/disk/by-id, which nobody else does when the agent is PID 1.
void disks_own_dev(void);

// ---- rootfs.c

// Makes the root disk of the command line the root directory. false, and why, when it cannot be;
// then everything is as before.
bool rootfs_enter(char *why, size_t size);

// ---- init.c: the root disk's own init as PID 1, with the agent beside it

// Gives PID 1 to the program at path and returns true in a new process, which is the agent from then on.
// false, as PID 1, when it cannot be executed. `name` is the agent's argv[0].
bool init_start(const char *path, char *name);
bool init_is_beside(void);
void init_power_off(void);
void init_child_ended(pid_t pid, int status);

// ---- power.c

// Stops the workload, syncs and powers off.
void power_off(void);
// The same, and so long for the workload. One that is stopped already has so long from now on.
void power_off_within(int timeout_ms);
void power_watch_button(void);

// ---- boot.c

void boot_mount(void);
void boot_load_modules(void);
// The console without blocking: queued when it is slow. false when the queue is full.
bool console_write(const char *text, size_t length);
bool console_has_room(void);
// Waits, within a bound, until the queue is out.
void console_flush(void);

#endif
