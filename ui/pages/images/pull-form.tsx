// ui, pages: asks the daemon to pull a container image, and tells how far it is. The pull continues when the page is left.

import { useState } from 'preact/hooks';
import { ApiError } from '../../../src/client/errors.ts';
import { pullImage } from '../../data/images.ts';
import { tellProgress } from '../../parts/toasts.tsx';

/** What the daemon says of each field. */
type Problems = Readonly<Record<string, string>>;

const FIELDS = [
  {
    name: 'image',
    label: 'Image',
    placeholder: 'nginx:1.27, registry.example.org/app:2',
  },
  {
    name: 'image_digest',
    label: 'Digest that it must have (optional)',
    placeholder: 'sha256:…',
  },
] as const;

type FieldName = (typeof FIELDS)[number]['name'];

const NOTHING: Readonly<Record<FieldName, string>> = { image: '', image_digest: '' };

export function PullForm() {
  const [values, setValues] = useState(NOTHING);
  const [problems, setProblems] = useState<Problems>({});
  const image = values.image.trim();
  const pull = async () => {
    setProblems({});
    const done = await tellProgress(
      `Pulling ${image}…`,
      async (tell) => {
        try {
          await pullImage(image, values.image_digest.trim(), (text) => tell(`Pulling ${text}`));
          return true;
        } catch (error) {
          if (error instanceof ApiError) setProblems(error.details);
          throw error;
        }
      },
      () => `${image} is on this host`,
    );
    // What was typed meanwhile stays.
    if (done) setValues((now) => (now.image.trim() === image ? NOTHING : now));
  };
  return (
    <form
      class="fields-line"
      onSubmit={(event) => {
        event.preventDefault();
        void pull();
      }}
    >
      {FIELDS.map(({ name, label, placeholder }) => (
        <div class="field" key={name}>
          <label for={name}>{label}</label>
          <input
            id={name}
            type="text"
            class="mono"
            placeholder={placeholder}
            spellcheck={false}
            autoComplete="off"
            aria-invalid={problems[name] !== undefined}
            aria-describedby={`${name}-problem`}
            value={values[name]}
            onInput={({ currentTarget: { value } }) =>
              setValues((now) => ({ ...now, [name]: value }))
            }
          />
          {problems[name] !== undefined && (
            <p id={`${name}-problem`} class="field-problem" role="alert">
              {problems[name]}
            </p>
          )}
        </div>
      ))}
      <button type="submit" class="primary" disabled={image === ''}>
        Pull
      </button>
    </form>
  );
}
