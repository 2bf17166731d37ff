// http, mcp: what tools answer, as schemas. They are made of those that describe the answers of the API, so that a program
// that knows the one knows the other.

import { type TObject, type TSchema, Type } from 'typebox';
import { DeploymentSchema } from '../../schema/deployment.ts';
import { ErrorSchema } from '../../schema/error.ts';
import { EventSchema } from '../../schema/event.ts';
import { plainSchema } from '../../schema/openapi-schemas.ts';

/**
 * An object of one of these shapes, or an error: a tool that fails has a structured result, too, and clients hold that
 * against the same schema. All members stand at the top, since many readers of schemas look no further.
 */
export function outputOf(...shapes: readonly TObject[]): TSchema {
  const all: readonly TObject[] = [...shapes, ErrorSchema];
  const properties = Object.assign({}, ...all.toReversed().map((shape) => shape.properties));
  const anyOf = all.map(({ required = [] }) => ({ required }));
  return Type.Unsafe(plainSchema({ type: 'object', properties, anyOf }));
}

/** A list is a member, so that other members can tell of it. */
export function listOf(name: string, item: TSchema, more: Record<string, TSchema> = {}): TSchema {
  return outputOf(Type.Object({ [name]: Type.Array(item), ...more }));
}

/** How many there are, whatever the page. */
export const TOTAL = { total: Type.Integer({ minimum: 0, description: 'How many there are' }) };

/** Which one, and what became of it. */
export function outcomeOf(what: string): TSchema {
  return outputOf(Type.Object({ name: Type.String(), [what]: Type.Boolean() }));
}

const { config: _config, replicas: _replicas, ...brief } = DeploymentSchema.properties;

/** A deployment without what makes lists of them long. */
export const BriefDeploymentSchema = Type.Object(brief);

export const NumberedEventSchema = Type.Object({
  sequence: Type.Integer({ description: 'Its number: dense, and goes on over restarts' }),
  ...EventSchema.properties,
});
