// load, report: a run as JUnit XML, so that a CI server shows thresholds as tests. One suite with a test case for each threshold
// and one for the run itself: `failure` for what did not hold, `error` for a run that says nothing. The format has no standard;
// these elements and attributes are those that Jenkins, GitLab and GitHub actions read.

import { escapedMarkup } from './markup.ts';
import type { RunReport } from './run-report.ts';
import { thresholdText } from './words.ts';

interface Case {
  readonly name: string;
  readonly outcome: 'passed' | 'failure' | 'error';
  readonly message: string;
}

export function junitReport(report: RunReport): string {
  const { run } = report;
  const cases = [runCase(report), ...report.thresholds.map(caseOfThreshold)];
  const count = (outcome: Case['outcome']) => cases.filter((one) => one.outcome === outcome).length;
  const attributes = [
    `name="${escapedMarkup(`volant-load ${run.scenario.name}`)}"`,
    `tests="${cases.length}" failures="${count('failure')}" errors="${count('error')}" skipped="0"`,
    `time="${(run.durationMs / 1000).toFixed(3)}" timestamp="${escapedMarkup(run.startedAt)}"`,
  ].join(' ');
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites><testsuite ${attributes}>`,
    '<properties>',
    property('label', run.label),
    property('url', run.url),
    property('seed', String(run.seed)),
    property('server_version', run.serverVersion ?? ''),
    '</properties>',
    ...cases.map((one) => caseElement(one, run.scenario.name)),
    '</testsuite></testsuites>',
    '',
  ].join('\n');
}

/** A threshold that did not hold has a test case of its own, so it does not fail this one, too. */
function runCase({ verdict, reasons }: RunReport): Case {
  const isError = verdict === 'invalid' || verdict === 'interrupted';
  return { name: 'run', outcome: isError ? 'error' : 'passed', message: reasons.join('; ') };
}

function caseOfThreshold(threshold: RunReport['thresholds'][number]): Case {
  return {
    name: threshold.condition,
    outcome: threshold.held ? 'passed' : 'failure',
    message: thresholdText(threshold),
  };
}

function property(name: string, value: string): string {
  return `<property name="${name}" value="${escapedMarkup(value)}"/>`;
}

function caseElement({ name, outcome, message }: Case, scenario: string): string {
  const names = `classname="${escapedMarkup(scenario)}" name="${escapedMarkup(name)}"`;
  if (outcome === 'passed') return `<testcase ${names}/>`;
  return `<testcase ${names}><${outcome} message="${escapedMarkup(message)}"/></testcase>`;
}
