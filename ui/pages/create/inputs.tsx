// ui, pages: the field of a single value in a form: a text, a number, a choice, lines, or JSON for what has no other shape.

import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import type { Schema } from '../../data/api-document.ts';
import { itemsOf, linesIn, mapIn, mapText, parsed } from './draft.ts';

export interface InputProps {
  readonly schema: Schema;
  readonly name: string;
  readonly isRequired: boolean;
  readonly value: unknown;
  readonly onChange: (value: unknown) => void;
  readonly problems: readonly string[];
  readonly suggestions: readonly string[];
}

/** What every control gets. */
interface ControlProps {
  readonly id: string;
  readonly 'aria-describedby': string;
  readonly 'aria-invalid': boolean;
  readonly 'aria-required': boolean;
}

/** Limits that only say how large a number can be written are not shown. */
const LIMIT_TOLD_MAX = 1_000_000;

export function Input(props: InputProps) {
  const { name, schema, isRequired, problems } = props;
  const id = useId();
  const control: ControlProps = {
    id,
    'aria-describedby': `${id}-about`,
    'aria-invalid': problems.length > 0,
    'aria-required': isRequired,
  };
  return (
    <div class="field">
      <label for={id}>
        {name}
        {isRequired && <span class="dim"> (required)</span>}
      </label>
      {controlOf(props, control)}
      <div id={`${id}-about`}>
        <p class="dim">{aboutText(schema)}</p>
        {problems.map((problem) => (
          <p key={problem} class="field-problem">
            {problem}
          </p>
        ))}
      </div>
    </div>
  );
}

function aboutText({
  description,
  minimum = 0,
  maximum,
  type,
  items,
  additionalProperties,
}: Schema) {
  const isNumber = type === 'integer' || type === 'number';
  const upper = maximum !== undefined && maximum <= LIMIT_TOLD_MAX ? maximum : null;
  return [
    description,
    isNumber && upper !== null ? `${minimum} to ${upper}` : undefined,
    isNumber && upper === null && minimum > 0 ? `At least ${minimum}` : undefined,
    items === undefined ? undefined : 'One in each line',
    isTextMap(additionalProperties) ? 'NAME=value, one in each line' : undefined,
  ]
    .filter((text) => text !== undefined)
    .join('. ');
}

const isTextMap = (values: Schema['additionalProperties']) =>
  typeof values === 'object' && values.type === 'string';

function controlOf(props: InputProps, control: ControlProps): ComponentChildren {
  const { schema, value, onChange } = props;
  if (schema.enum !== undefined) return <Choice {...props} control={control} words={schema.enum} />;
  if (schema.type === 'boolean') {
    return (
      <Choice
        {...props}
        control={control}
        words={['true', 'false']}
        value={value === undefined ? undefined : String(value)}
        onChange={(word) => onChange(word === undefined ? undefined : word === 'true')}
      />
    );
  }
  if (schema.type === 'integer' || schema.type === 'number') {
    return <NumberInput {...props} control={control} />;
  }
  if (schema.type === 'string') return <TextInput {...props} control={control} />;
  if (schema.items?.type === 'string') {
    const text = itemsOf(value).join('\n');
    return <Lines control={control} text={text} onText={(lines) => onChange(linesIn(lines))} />;
  }
  if (isTextMap(schema.additionalProperties)) {
    return (
      <Lines control={control} text={mapText(value)} onText={(text) => onChange(mapIn(text))} />
    );
  }
  return <JsonInput {...props} control={control} />;
}

type WithControl = InputProps & { readonly control: ControlProps };

function Choice({ control, value, onChange, words }: WithControl & { words: readonly string[] }) {
  return (
    <select
      {...control}
      value={typeof value === 'string' ? value : ''}
      onChange={({ currentTarget }) =>
        onChange(currentTarget.value === '' ? undefined : currentTarget.value)
      }
    >
      <option value="">not set</option>
      {words.map((word) => (
        <option key={word} value={word}>
          {word}
        </option>
      ))}
    </select>
  );
}

function NumberInput({ control, schema, value, onChange }: WithControl) {
  return (
    <input
      {...control}
      type="number"
      min={schema.minimum}
      max={schema.maximum}
      step={schema.type === 'integer' ? 1 : 'any'}
      value={typeof value === 'number' ? String(value) : ''}
      onInput={({ currentTarget }) =>
        onChange(currentTarget.value === '' ? undefined : currentTarget.valueAsNumber)
      }
    />
  );
}

function TextInput({ control, value, onChange, suggestions }: WithControl) {
  const list = `${control.id}-list`;
  return (
    <>
      <input
        {...control}
        type="text"
        autoComplete="off"
        spellcheck={false}
        list={suggestions.length > 0 ? list : undefined}
        value={typeof value === 'string' ? value : ''}
        onInput={({ currentTarget }) =>
          onChange(currentTarget.value === '' ? undefined : currentTarget.value)
        }
      />
      {suggestions.length > 0 && (
        <datalist id={list}>
          {suggestions.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
    </>
  );
}

interface LinesProps {
  readonly control: ControlProps;
  readonly text: string;
  readonly onText: (text: string) => void;
}

/** The text is that of the user, not that of the value: a line that is not finished has no value yet. */
function Lines({ control, text, onText }: LinesProps) {
  const [own, setOwn] = useState(text);
  return (
    <textarea
      {...control}
      rows={Math.min(8, own.split('\n').length + 1)}
      spellcheck={false}
      value={own}
      onInput={({ currentTarget }) => {
        setOwn(currentTarget.value);
        onText(currentTarget.value);
      }}
    />
  );
}

function JsonInput({ control, value, onChange }: WithControl) {
  const [problem, setProblem] = useState('');
  const text = value === undefined ? '' : JSON.stringify(value, null, 2);
  return (
    <>
      <Lines
        control={control}
        text={text}
        onText={(own) => {
          const result = parsed(own);
          setProblem('problem' in result ? result.problem : '');
          if ('value' in result) onChange(result.value);
        }}
      />
      <p class="dim">As JSON</p>
      {problem !== '' && <p class="field-problem">{problem}</p>}
    </>
  );
}
