// http, routes: deployments.

import type { CreateDeploymentRequest, PatchDeploymentRequest } from '../../schema/deployment.ts';
import type { RequestHead } from '../exchange.ts';
import type { Handlers } from '../handlers.ts';
import { Query } from '../query.ts';
import { empty, json } from '../reply.ts';
import { requested } from '../request-id.ts';
import { waitOptionsIn } from '../wait-options.ts';

export const deploymentRoutes = {
  listDeployments: ({ engine }) => json(200, engine.deployments.list()),
  createDeployment: async ({ engine }, head, body) => {
    const request = body as CreateDeploymentRequest;
    const { isDryRun, options } = optionsIn(head);
    if (isDryRun) return json(200, engine.deployments.planCreate(request));
    return json(201, await engine.deployments.create(request, options, requested(head)));
  },
  getDeployment: ({ engine }, head) => json(200, engine.deployments.get(nameIn(head))),
  scaleDeployment: async ({ engine }, head, body) => {
    const request = body as PatchDeploymentRequest;
    const { isDryRun, options } = optionsIn(head);
    if (isDryRun) return json(200, engine.deployments.planPatch(nameIn(head), request));
    const changed = await engine.deployments.patch(nameIn(head), request, options, requested(head));
    return json(200, changed);
  },
  deleteDeployment: async ({ engine }, head) => {
    await engine.deployments.remove(nameIn(head), requested(head));
    return empty(204);
  },
} satisfies Partial<Handlers>;

function optionsIn(head: RequestHead) {
  const query = new Query(head.query);
  const options = waitOptionsIn(query, 'ready');
  const isDryRun = query.flag('dry_run');
  query.throwProblems();
  return { isDryRun, options };
}

/** Clients pad names now and then; a name itself has no blanks. */
function nameIn(head: RequestHead): string {
  return (head.parameters[0] ?? '').trim();
}
