// guest: the channel to the host. README.md describes its frames.
#ifndef VOLANT_GUEST_CHANNEL_H
#define VOLANT_GUEST_CHANNEL_H

// Opens the channel, now or when its port appears.
void channel_open(void);
// Tells a host that is connected that the workload has changed.
void channel_send_changed(void);
// Tells a host that is connected that the workload has posted a result.
void channel_send_result(void);

#endif
