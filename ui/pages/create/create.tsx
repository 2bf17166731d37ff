// ui, pages: makes a VM, a deployment or a plugin, by a form or as JSON. The form is made from the API document of the daemon,
// and so are its limits; what is wrong is what the daemon says, at the field that it says it of.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../../../src/client/errors.ts';
import type {
  CreateDeploymentRequest,
  CreateVmRequest,
  DryRun,
  ManifestInput,
} from '../../../src/client/types.ts';
import { go, place, to } from '../../base/router.ts';
import { api } from '../../data/api.ts';
import { type ApiDocument, bodySchema, readApiDocument } from '../../data/api-document.ts';
import { useResource } from '../../data/resource.ts';
import { Choices } from '../../parts/choices.tsx';
import { Empty, Failure, Loading } from '../../parts/states.tsx';
import { toast } from '../../parts/toasts.tsx';
import { type Draft, membersOf, type Problems, parsed } from './draft.ts';
import { Form, Members } from './fields.tsx';

interface Kind {
  readonly noun: string;
  /** The first part of the path of its pages, and what that page is called. */
  readonly list: string;
  readonly listTitle: string;
  readonly path: string;
  readonly create: (draft: Draft) => Promise<unknown>;
  /** What it would do; absent if the daemon cannot say. */
  readonly plan?: (draft: Draft) => Promise<DryRun>;
}

// Drafts are checked by the daemon, not by these types.
const KINDS: Readonly<Record<string, Kind>> = {
  vm: {
    noun: 'VM',
    list: 'vms',
    listTitle: 'VMs',
    path: '/api/v1/vms',
    create: (draft) => api().vms.create(draft as CreateVmRequest),
    plan: (draft) => api().vms.planCreate(draft as CreateVmRequest),
  },
  deployment: {
    noun: 'deployment',
    list: 'deployments',
    listTitle: 'Deployments',
    path: '/api/v1/deployments',
    create: (draft) => api().deployments.create(draft as CreateDeploymentRequest),
    plan: (draft) => api().deployments.planCreate(draft as CreateDeploymentRequest),
  },
  plugin: {
    noun: 'plugin',
    list: 'plugins',
    listTitle: 'Plugins',
    path: '/api/v1/plugins',
    create: (draft) => api().plugins.install(draft as ManifestInput),
  },
};

export interface CreatePageProps {
  readonly parameters: Readonly<Record<string, string>>;
}

interface Needed {
  readonly document: ApiDocument;
  readonly plugins: readonly string[];
}

export function Page({ parameters }: CreatePageProps) {
  const kind = KINDS[parameters['kind'] ?? ''];
  const [needed, reload] = useResource<Needed>(
    'create',
    async (signal) => ({
      document: await readApiDocument(signal),
      plugins: await api().plugins.list({ signal }),
    }),
    ({ type }) => type.startsWith('PLUGIN_'),
  );
  if (kind === undefined) return <Empty title="There is no such form" />;
  return (
    <section class="page" aria-labelledby="page-title">
      <nav class="crumbs" aria-label="Where this page is">
        <a href={to([kind.list])}>{kind.listTitle}</a>
      </nav>
      <h1 id="page-title">Create a {kind.noun}</h1>
      {needed.state === 'loading' && <Loading what="the form" />}
      {needed.state === 'failed' && (
        <Failure what="The form" error={needed.error} onRetry={reload} />
      )}
      {needed.state === 'ready' && <Editor kind={kind} needed={needed.value} />}
    </section>
  );
}

const VIEWS = [
  { id: 'form', label: 'Form' },
  { id: 'json', label: 'JSON' },
] as const;

interface Outcome {
  readonly error: Error | null;
  readonly plan: DryRun | null;
}

const NOTHING: Outcome = { error: null, plan: null };

interface EditorProps {
  readonly kind: Kind;
  readonly needed: Needed;
}

function Editor({ kind, needed: { document, plugins } }: EditorProps) {
  const [draft, setDraft] = useState<Draft>(() => {
    const plugin = place.peek().query.get('plugin');
    return plugin === null ? {} : { plugin };
  });
  const [view, setView] = useState<'form' | 'json'>('form');
  const [jsonProblem, setJsonProblem] = useState('');
  const [outcome, setOutcome] = useState<Outcome>(NOTHING);
  const [isBusy, setBusy] = useState(false);
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true);
    setOutcome(NOTHING);
    try {
      await work();
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      setOutcome({ error, plan: null });
    }
    setBusy(false);
  };
  const create = async () => {
    await kind.create(draft);
    const name = String(draft['name']);
    toast('done', `Created the ${kind.noun} ${name}`);
    go([kind.list, name]);
  };
  const { plan } = kind;
  const { error } = outcome;
  const problems: Problems = error instanceof ApiError ? error.details : {};
  const change = (next: unknown) => setDraft(membersOf(next));
  return (
    <form
      class="create"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void attempt(create);
      }}
    >
      <Choices label="How it is written" choices={VIEWS} chosen={view} onChoose={setView} />
      {error !== null && <Refusal error={error} />}
      {outcome.plan !== null && <Plan plan={outcome.plan} />}
      {view === 'form' ? (
        <Form.Provider
          value={{ document, problems, suggestions: { plugin: plugins, 'config.plugin': plugins } }}
        >
          <Members
            schema={bodySchema(document, kind.path)}
            path=""
            value={draft}
            onChange={change}
          />
        </Form.Provider>
      ) : (
        <JsonEditor
          draft={draft}
          onDraft={change}
          problem={jsonProblem}
          onProblem={setJsonProblem}
        />
      )}
      <div class="bar">
        <button type="submit" class="primary" disabled={isBusy || jsonProblem !== ''}>
          {isBusy ? 'Waiting for the daemon…' : `Create the ${kind.noun}`}
        </button>
        {plan !== undefined && (
          <button
            type="button"
            disabled={isBusy || jsonProblem !== ''}
            onClick={() =>
              void attempt(async () => setOutcome({ error: null, plan: await plan(draft) }))
            }
          >
            Check only
          </button>
        )}
      </div>
    </form>
  );
}

/** Gets the focus, so that a user of keys or of a screen reader is where the page has changed. */
function Refusal({ error }: { readonly error: Error }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => element.current?.focus(), [error]);
  const details = error instanceof ApiError ? Object.entries(error.details) : [];
  return (
    <div class="notice" role="alert" tabIndex={-1} ref={element}>
      <strong>{error.message}</strong>
      <ul>
        {details.map(([path, problem]) => (
          <li key={path}>
            <span class="mono">{path}</span> {problem}
          </li>
        ))}
      </ul>
    </div>
  );
}

function Plan({ plan: { actions } }: { readonly plan: DryRun }) {
  return (
    <div class="notice notice-good" role="status">
      <strong>The daemon accepts this, and would:</strong>
      <ul>
        {actions.map(({ action, subject }) => (
          <li key={`${action} ${subject}`}>
            {action} {subject}
          </li>
        ))}
      </ul>
    </div>
  );
}

interface JsonEditorProps {
  readonly draft: Draft;
  readonly onDraft: (draft: unknown) => void;
  readonly problem: string;
  readonly onProblem: (problem: string) => void;
}

function JsonEditor({ draft, onDraft, problem, onProblem }: JsonEditorProps) {
  const [text, setText] = useState(() => JSON.stringify(draft, null, 2));
  // The form continues with the last text that was JSON.
  useEffect(() => () => onProblem(''), []);
  return (
    <div class="field">
      <label for="create-json">JSON</label>
      <textarea
        id="create-json"
        class="mono"
        rows={20}
        spellcheck={false}
        aria-describedby="create-json-problem"
        value={text}
        onInput={({ currentTarget }) => {
          setText(currentTarget.value);
          const result = parsed(currentTarget.value);
          onProblem('problem' in result ? result.problem : '');
          if ('value' in result) onDraft(result.value);
        }}
      />
      <p id="create-json-problem" class="field-problem">
        {problem}
      </p>
    </div>
  );
}
