// http, routes: deployments.

import type {
  CreateDeploymentRequest,
  PatchDeploymentRequest,
  RollbackRequest,
} from '../../schema/deployment.ts';
import { nameIn, type RequestHead } from '../exchange/exchange.ts';
import { Query } from '../exchange/query.ts';
import { empty, json } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import { waitOptionsIn } from '../exchange/wait-options.ts';
import type { Handlers } from '../handlers.ts';

export const deploymentRoutes = {
  listDeployments: ({ engine }) => json(200, engine.deployments.list()),
  createDeployment: async ({ engine }, head, body) => {
    const request = body as CreateDeploymentRequest;
    const { isDryRun, options } = optionsIn(head);
    if (isDryRun) return json(200, engine.deployments.planCreate(request));
    return json(201, await engine.deployments.create(request, options, requested(head)));
  },
  getDeployment: ({ engine }, head) => json(200, engine.deployments.get(deploymentIn(head))),
  scaleDeployment: async ({ engine }, head, body) => {
    const request = body as PatchDeploymentRequest;
    const { isDryRun, options } = optionsIn(head);
    if (isDryRun) return json(200, engine.deployments.planPatch(deploymentIn(head), request));
    const changed = await engine.deployments.patch(
      deploymentIn(head),
      request,
      options,
      requested(head),
    );
    return json(200, changed);
  },
  listDeploymentRevisions: ({ engine }, head) =>
    json(200, engine.deployments.revisions(deploymentIn(head))),
  rollbackDeployment: async ({ engine }, head, body) => {
    const request = body as RollbackRequest;
    const { isDryRun, options } = optionsIn(head);
    const { deployments } = engine;
    if (isDryRun) return json(200, deployments.planRollback(deploymentIn(head), request));
    const changed = await deployments.rollback(
      deploymentIn(head),
      request,
      options,
      requested(head),
    );
    return json(200, changed);
  },
  deleteDeployment: async ({ engine }, head) => {
    await engine.deployments.remove(deploymentIn(head), requested(head));
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

/** Some clients pad names of deployments with blanks; a name itself has none. */
function deploymentIn(head: RequestHead): string {
  return nameIn(head).trim();
}
