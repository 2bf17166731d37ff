// http, mcp: schemas of the tools' answers. They are made from the schemas of the REST API's answers, so that both have the
// same members.

import { type TObject, type TSchema, Type } from 'typebox';
import { DeploymentRevisionSchema, DeploymentSchema } from '../../../schema/deployment.ts';
import { ErrorSchema } from '../../../schema/error.ts';
import { EventSchema } from '../../../schema/event.ts';
import { plainSchema } from '../../../schema/openapi/openapi-schemas.ts';

/**
 * An object of one of these shapes, or an error: a tool that fails has a structured result, too, and clients validate it
 * against the same schema. All members are at the top level, because many clients read no further.
 */
export function outputOf(...shapes: readonly TObject[]): TSchema {
  const all: readonly TObject[] = [...shapes, ErrorSchema];
  const properties = Object.assign({}, ...all.toReversed().map((shape) => shape.properties));
  const anyOf = all.map(({ required = [] }) => ({ required }));
  return Type.Unsafe(plainSchema({ type: 'object', properties, anyOf }));
}

/** A list is a member of an object, so that other members can be added. */
export function listOf(name: string, item: TSchema, more: Record<string, TSchema> = {}): TSchema {
  return outputOf(Type.Object({ [name]: Type.Array(item), ...more }));
}

/** The total number, independent of the page. */
export const TOTAL = { total: Type.Integer({ minimum: 0, description: 'How many there are' }) };

/** Name of the object, and the result of the operation. */
export function outcomeOf(what: string): TSchema {
  return outputOf(Type.Object({ name: Type.String(), [what]: Type.Boolean() }));
}

const { config: _config, replicas: _replicas, ...brief } = DeploymentSchema.properties;

/** A deployment without its long members, for lists. */
export const BriefDeploymentSchema = Type.Object(brief);

const { config: _revisionConfig, ...briefRevision } = DeploymentRevisionSchema.properties;

/** A revision without its config, for lists. */
export const BriefRevisionSchema = Type.Object(briefRevision);

export const NumberedEventSchema = Type.Object({
  sequence: Type.Integer({
    description: 'Number of the event; numbers have no gaps and continue over restarts',
  }),
  ...EventSchema.properties,
});
