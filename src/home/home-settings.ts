// home: the settings that say where a home is, and whose.

import type { Config } from '../config.ts';

export type HomeSettings = Pick<
  Config,
  'statePath' | 'runtimeDirectory' | 'diskDirectory' | 'hostTag'
>;
