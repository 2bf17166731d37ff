// e2e: fleets of each machine type that start at once on a busy host.

import { testFleet } from './fleets.ts';

testFleet({ count: 20, machine: 'auto', cpu_cores: 1, loops: 3 });
testFleet({ count: 20, machine: 'q35', cpu_cores: 1, loops: 3 });
testFleet({ count: 20, machine: 'auto', cpu_cores: 2, loops: 3 });
