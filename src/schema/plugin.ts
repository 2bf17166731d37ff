// schema: requests and answers about plugins, except the manifest.

import { Type } from 'typebox';

export const PluginListSchema = Type.Object(
  {
    plugins: Type.Array(Type.String(), { description: 'Names, sorted' }),
  },
  { $id: 'PluginList' },
);

export const PluginEnabledSchema = Type.Object(
  { enabled: Type.Boolean() },
  { $id: 'PluginEnabled' },
);
