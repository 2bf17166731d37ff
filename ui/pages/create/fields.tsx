// ui, pages: the fields of a form, made from the schemas of the API: a group for each object, required members first. Groups
// that are folded are not in the document. inputs.tsx has the fields of single values.

import { createContext } from 'preact';
import { useContext, useState } from 'preact/hooks';
import { type ApiDocument, resolved, type Schema } from '../../data/api-document.ts';
import {
  itemPath,
  itemsOf,
  memberPath,
  membersOf,
  type Problems,
  problemsBelow,
  withMember,
} from './draft.ts';
import { Input } from './inputs.tsx';

export interface FormContext {
  readonly document: ApiDocument;
  readonly problems: Problems;
  /** Values that a field offers, by its path. */
  readonly suggestions: Readonly<Record<string, readonly string[]>>;
}

export const Form = createContext<FormContext | null>(null);

function useForm(): FormContext {
  const form = useContext(Form);
  if (form === null) throw new Error('A field is in a form');
  return form;
}

export interface FieldProps {
  readonly schema: Schema;
  readonly name: string;
  readonly path: string;
  readonly isRequired: boolean;
  readonly value: unknown;
  /** undefined: it is not set. */
  readonly onChange: (value: unknown) => void;
}

const isObject = ({ type, properties }: Schema) => type === 'object' && properties !== undefined;

/** The members of an object: required ones, then single values, then groups. */
export function Members({
  schema,
  path,
  value,
  onChange,
}: Omit<FieldProps, 'name' | 'isRequired'>) {
  const { document } = useForm();
  const required = schema.required ?? [];
  const members = Object.entries(schema.properties ?? {}).map(([key, member]) => ({
    key,
    schema: resolved(document, member),
    isRequired: required.includes(key),
  }));
  const rank = (each: (typeof members)[number]) =>
    (isGroup(document, each.schema) ? 2 : 0) - (each.isRequired ? 1 : 0);
  const sorted = members.toSorted((one, other) => rank(one) - rank(other));
  return (
    <>
      {sorted.map((member) => (
        <Field
          key={member.key}
          name={member.key}
          schema={member.schema}
          isRequired={member.isRequired}
          path={memberPath(path, member.key)}
          value={membersOf(value)[member.key]}
          onChange={(next) => onChange(withMember(value, member.key, next))}
        />
      ))}
    </>
  );
}

function isGroup(document: ApiDocument, schema: Schema): boolean {
  return (
    isObject(schema) || (schema.items !== undefined && isObject(resolved(document, schema.items)))
  );
}

function Field(props: FieldProps) {
  const { document, problems, suggestions } = useForm();
  const { schema, path } = props;
  if (isObject(schema)) return <Group {...props} />;
  if (isGroup(document, schema)) return <List {...props} />;
  return (
    <Input
      {...props}
      problems={problemsBelow(problems, path)}
      suggestions={suggestions[path] ?? []}
    />
  );
}

/** Folded until the user or a problem opens it. */
function Group(props: FieldProps) {
  const { name, path, schema, isRequired, value } = props;
  const { problems } = useForm();
  const [isOpen, setOpen] = useState(isRequired);
  const isShown = isOpen || problemsBelow(problems, path).length > 0;
  const count = Object.keys(membersOf(value)).length;
  return (
    <details class="group" open={isShown} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <strong>{name}</strong>
        {isRequired && ' (required)'} {count > 0 && <span class="count">{count} set</span>}{' '}
        <span class="dim">{schema.description}</span>
      </summary>
      {problems[path] !== undefined && <p class="field-problem">{problems[path]}</p>}
      {isShown && (
        <div class="group-members">
          <Members {...props} />
        </div>
      )}
    </details>
  );
}

/** Objects in an order. */
function List({ schema, name, path, value, onChange }: FieldProps) {
  const { document, problems } = useForm();
  const items = itemsOf(value);
  const set = (next: readonly unknown[]) => onChange(next.length === 0 ? undefined : next);
  const item = resolved(document, schema.items ?? {});
  return (
    <fieldset class="group list">
      <legend>
        <strong>{name}</strong> <span class="dim">{schema.description}</span>
      </legend>
      {problems[path] !== undefined && <p class="field-problem">{problems[path]}</p>}
      {items.map((each, index) => (
        <div key={itemPath('', index)} class="group-members">
          <Members
            schema={item}
            path={itemPath(path, index)}
            value={each}
            onChange={(next) => set(items.with(index, next ?? {}))}
          />
          <button type="button" onClick={() => set(items.filter((_, other) => other !== index))}>
            Remove {name} {index + 1}
          </button>
        </div>
      ))}
      <button type="button" onClick={() => set([...items, {}])}>
        Add to {name}
      </button>
    </fieldset>
  );
}
