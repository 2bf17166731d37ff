// guest: the version that the agent reports.
#ifndef VOLANT_GUEST_VERSION_H
#define VOLANT_GUEST_VERSION_H

#define AGENT_VERSION "0.1.0"

#endif
