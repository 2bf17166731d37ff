// http, routes: requests that guests answer: a workload's own OpenAPI document and the actions of its manifest.

import { LIMITS } from '../../config/limits.ts';
import { type ErrorCode, VolantError } from '../../lib/errors.ts';
import { imageLocation } from '../../lib/formats/image-location.ts';
import { Query } from '../exchange/query.ts';
import { empty, JSON_TYPE, json, jsonText, type Reply } from '../exchange/reply.ts';
import { type FetchedDocument, fetchDocument } from '../fetch-document.ts';
import { askGuest } from '../guests/ask-guest.ts';
import { type ActionAnswer, runAction } from '../guests/run-action.ts';
import type { HandlerContext, Handlers } from '../handlers.ts';

const YAML_TYPE = 'application/yaml';

export const guestRoutes = {
  getVMOpenAPI: async (context, { parameters: [name = ''], query: queryText }) => {
    const query = new Query(queryText);
    const format = query.choice('format', ['json', 'raw'], 'json');
    query.throwProblems();
    // Throws VM_NOT_FOUND before anything else is tried.
    const { config } = context.engine.configs.get(name);
    const document =
      (await askForDocument(context, name)) ??
      (await documentAt(context, name, config.manifest?.openapi ?? ''));
    const { text, contentType } = withType(document);
    if (format === 'raw' || !isYaml(contentType)) {
      return { status: 200, body: text, contentType };
    }
    return jsonText(200, await context.engine.system.documentToJson(text));
  },
  getVMConsoleLog: async ({ engine }, { parameters: [name = ''] }) => {
    const bytes = await engine.consoles.past(name);
    const body = new TextDecoder().decode(bytes);
    return { status: 200, body, contentType: 'text/plain; charset=utf-8' };
  },
  runVMAction: async ({ engine }, { parameters: [vmName = '', plugin = '', action = ''] }, body) =>
    actionReply(await runAction(engine.agents, { vmName, plugin, action }, body)),
} satisfies Partial<Handlers>;

/**
 * null if the guest does not run, does not answer, or has no document: none of these is an error here. An overloaded guest
 * may have a document, so OVERLOADED is rethrown: the answer must not change between two requests.
 */
async function askForDocument(
  { engine }: HandlerContext,
  name: string,
): Promise<FetchedDocument | null> {
  try {
    const answer = await askGuest(engine.agents.connection(name), {
      method: 'GET',
      path: '/v1/openapi',
      timeoutMs: LIMITS.documentAgentTimeoutMs,
      answerBytesMax: LIMITS.documentBytesMax,
    });
    return answer.status === 200 ? answer : null;
  } catch (error) {
    const expected: ErrorCode[] = ['VM_STATE_CONFLICT', 'AGENT_UNREACHABLE'];
    if (error instanceof VolantError && expected.includes(error.code)) return null;
    throw error;
  }
}

/** The document that the manifest names: by URL, or by a path below the media directories. */
async function documentAt(
  { engine, config }: HandlerContext,
  name: string,
  reference: string,
): Promise<FetchedDocument> {
  if (reference === '') {
    const why = `Neither the workload of VM ${name} nor its manifest has an OpenAPI document`;
    throw new VolantError('DOCUMENT_NOT_FOUND', why);
  }
  if (reference.startsWith('/'))
    return fileDocument(await engine.system.readDocument(reference), reference);
  const url = URL.canParse(reference) ? new URL(reference) : null;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') {
    return fetchDocument(url, config.openapiHosts, config.outbound);
  }
  const file = url?.protocol === 'file:' ? imageLocation(reference) : null;
  if (file !== null && typeof file !== 'string') {
    return fileDocument(await engine.system.readDocument(file.location), file.location);
  }
  const why = `${reference}, the manifest's openapi, is neither a URL nor an absolute path`;
  throw new VolantError('MEDIA_INVALID', why);
}

function fileDocument(text: string, path: string): FetchedDocument {
  return { text, contentType: /\.ya?ml$/i.test(path) ? YAML_TYPE : '' };
}

/** The content type that was given, if it is one of a document; otherwise it is guessed from the text. */
function withType({ text, contentType: said }: FetchedDocument): FetchedDocument {
  const looksLike = /^\s*[{[]/.test(text) ? JSON_TYPE : YAML_TYPE;
  return { text, contentType: /json|ya?ml/i.test(said) ? said : looksLike };
}

function isYaml(contentType: string): boolean {
  return /ya?ml/i.test(contentType);
}

function actionReply({ status, text, isEmpty, failure }: ActionAnswer): Reply {
  if (failure !== null) {
    const code: ErrorCode = 'ACTION_FAILED';
    return json(status, { error: failure, code });
  }
  return isEmpty ? empty(202) : jsonText(200, text);
}
