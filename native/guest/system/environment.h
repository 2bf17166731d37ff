// guest: links, file systems and limits that programs expect.
#ifndef VOLANT_GUEST_ENVIRONMENT_H
#define VOLANT_GUEST_ENVIRONMENT_H

// Makes what process 1 has to provide for all programs of the guest. What is there already stays. A failure is reported on
// the console.
void environment_make(void);
// Excludes the agent from the kernel's OOM killer.
void environment_protect_agent(void);
// Sets limits and the OOM score of the calling process, which is about to become the workload.
void environment_of_workload(void);

#endif
