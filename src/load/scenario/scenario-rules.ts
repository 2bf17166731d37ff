// load, scenario: what the parts of a scenario must be to each other.

import { join } from '../../lib/formats/member-path.ts';
import { LOAD_LIMITS } from '../load-limits.ts';
import type { Condition } from './condition.ts';
import { deploymentNeed, type Flow, type Scenario, type Step, vmNeed } from './scenario.ts';
import { addProblem, type ScenarioProblems } from './shape-check.ts';

/** The name under which figures of all steps are shown. */
export const TOTAL = 'total';

export function checkRules(scenario: Scenario, problems: ScenarioProblems): void {
  const seen = new Set<string>();
  for (const [index, { name }] of scenario.phases.entries()) {
    const path = join(join('phases', index), 'name');
    if (seen.has(name)) addProblem(problems, path, `is the name of an earlier phase, ${name}`);
    seen.add(name);
  }
  const plannedMs = scenario.phases.reduce((sum, { durationMs }) => sum + durationMs, 0);
  if (plannedMs > LOAD_LIMITS.phaseSecondsMax * 1000) {
    addProblem(problems, 'phases', `take more than ${LOAD_LIMITS.phaseSecondsMax} s together`);
  }
  checkNames(scenario.flows, problems);
  for (const [index, flow] of scenario.flows.entries()) {
    checkFlow(flow, scenario, join('operations', index), problems);
  }
  for (const [index, { condition }] of scenario.thresholds.entries()) {
    const problem = conditionProblem(condition, scenario);
    if (problem !== null) addProblem(problems, join('thresholds', index), problem);
  }
}

/** Steps of the same name are counted together, so they do the same; a flow has a name of its own. */
function checkNames(flows: readonly Flow[], problems: ScenarioProblems): void {
  const words = new Map<string, string>();
  const names = new Set<string>();
  for (const step of flows.flatMap(({ steps }) => steps)) {
    const word = words.get(step.name) ?? step.do;
    words.set(step.name, word);
    if (word !== step.do || step.name === TOTAL) {
      const why = step.name === TOTAL ? 'is the name of all steps together' : `is a ${word}, too`;
      addProblem(problems, `operations (step ${step.name})`, why);
    }
  }
  for (const [index, { name, steps }] of flows.entries()) {
    if (steps.length === 1 && steps[0]?.name === name) continue;
    const path = join(join('operations', index), 'name');
    if (name === TOTAL || words.has(name)) {
      addProblem(problems, path, `is the name of a step, or ${TOTAL}: ${name}`);
    }
    if (names.has(name)) addProblem(problems, path, `is the name of an earlier one: ${name}`);
    names.add(name);
  }
}

/** Whether each step has the VM or deployment that it works on. */
function checkFlow(
  flow: Flow,
  { setup }: Scenario,
  path: string,
  problems: ScenarioProblems,
): void {
  let [hasVm, hasDeployment] = [false, false];
  const at = (index: number) => (flow.steps.length === 1 ? path : join(join(path, 'steps'), index));
  for (const [index, step] of flow.steps.entries()) {
    const problem = stepProblem(step, hasVm, hasDeployment);
    if (problem !== null) addProblem(problems, at(index), problem);
    if (step.do === 'create') hasVm = true;
    if (step.do === 'create_deployment') hasDeployment = true;
    if (step.do === 'delete') hasVm = false;
    if (step.do === 'delete_deployment') hasDeployment = false;
  }
  if (vmNeed(flow) !== 'none' && setup.vms === 0) {
    addProblem(problems, path, 'needs a VM: create one in an earlier step, or set setup.vms');
  }
  if (deploymentNeed(flow) !== 'none' && setup.deployments === 0) {
    const means = 'create one in an earlier step, or set setup.deployments';
    addProblem(problems, path, `needs a deployment: ${means}`);
  }
}

function stepProblem(step: Step, hasVm: boolean, hasDeployment: boolean): string | null {
  switch (step.do) {
    case 'create':
      return hasVm ? 'comes while the flow has a VM; delete that one first' : null;
    case 'create_deployment':
      return hasDeployment ? 'comes while the flow has a deployment; delete that one first' : null;
    case 'delete':
      return hasVm ? null : 'deletes what the flow itself has created, and it has no VM';
    case 'delete_deployment':
      return hasDeployment ? null : 'deletes what the flow itself has created: no deployment';
    case 'watch': {
      const isEnded = (step.event === undefined) !== (step.duration_seconds === undefined);
      if (!isEnded) return 'must have one of event and duration_seconds';
      return step.event !== undefined && !hasVm
        ? 'waits for an event of a VM that the flow has created, and it has none'
        : null;
    }
    default:
      return null;
  }
}

/** null: the phase and the operation that the condition names are there. */
export function conditionProblem(
  { phase, operation }: Condition,
  { phases, flows }: Scenario,
): string | null {
  if (phase !== undefined && !phases.some(({ name }) => name === phase)) {
    return `names a phase that is not there: ${phase}`;
  }
  const known = [
    ...flows.map(({ name }) => name),
    ...flows.flatMap(({ steps }) => steps.map(({ name }) => name)),
  ];
  if (operation === TOTAL || known.includes(operation)) return null;
  return `names an operation that is not there: ${operation}; there are ${[...new Set(known)].join(', ')}`;
}
