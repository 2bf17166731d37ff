// http, mcp: the official clients of both generations against the endpoint: what they check of an answer, other clients
// will check, too.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { TOOLS } from '../../../src/http/mcp/tools/tools.ts';
import { eventually, inTime } from '../harness.ts';
import { serve } from '../served.ts';
import { GENERATIONS, type Json, modernClient } from './mcp-clients.ts';

for (const [title, connect] of GENERATIONS) {
  suite(title, () => {
    test('lists every tool with its schema and its hints', async (t) => {
      const client = await connect(t, await serve(t));
      assert.equal(client.getServerVersion().name, 'volant');
      assert.ok(client.getServerCapabilities().tools);
      const { tools } = await client.listTools();
      assert.deepEqual(
        tools.map(({ name }: Json) => name),
        TOOLS.map(({ name }) => name),
      );
      for (const { name, inputSchema, outputSchema, annotations } of tools) {
        assert.equal(inputSchema.type, 'object', name);
        assert.equal(outputSchema.type, 'object', name);
        assert.equal(
          annotations.readOnlyHint,
          /list|get|history|revisions|info|status|validate|group|summary|audit|operations|logs|read|wait|output|result/.test(
            name,
          ),
          name,
        );
        assert.equal(annotations.openWorldHint, false, name);
        if (/delete|remove/.test(name)) assert.equal(annotations.destructiveHint, true, name);
      }
    });

    test('creates, shows and deletes a VM', async (t) => {
      const served = await serve(t);
      const client = await connect(t, served);
      const call = async (name: string, args: Record<string, unknown>) => {
        const result = await client.callTool({ name, arguments: args });
        assert.notEqual(result.isError, true, JSON.stringify(result.content));
        // The text is for clients that know no structured content.
        assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
        return result.structuredContent as Json;
      };
      const made = await call('volant.vms.create', {
        name: 'two',
        plugin: 'hello',
        memory_mb: 256,
      });
      assert.equal(made.status, 'running');
      assert.equal(made.memory_mb, 256);
      const { vms, total } = await call('volant.vms.list', {});
      assert.equal(total, 2);
      assert.deepEqual(
        vms.map(({ name }: Json) => name),
        ['one', 'two'],
      );
      // What was asked of it meanwhile is a condition.
      const shown = await call('volant.vms.get', { name: 'two' });
      assert.deepEqual({ ...shown, conditions: made.conditions }, made);
      assert.deepEqual(await call('volant.vms.delete', { name: 'two' }), {
        name: 'two',
        deleted: true,
      });
      assert.equal((await served.call('GET', '/api/v1/vms/two')).status, 404);
    });

    test('gets code and message of a tool that failed', async (t) => {
      const client = await connect(t, await serve(t));
      const gone = await client.callTool({ name: 'volant.vms.get', arguments: { name: 'none' } });
      assert.equal(gone.isError, true);
      assert.equal(gone.structuredContent.code, 'VM_NOT_FOUND');
      assert.match(gone.content[0].text, /^VM_NOT_FOUND: .*none/);
      const wrong = await client.callTool({
        name: 'volant.vms.create',
        arguments: { name: 'A B' },
      });
      assert.equal(wrong.isError, true);
      assert.equal(wrong.structuredContent.code, 'BODY_INVALID');
      assert.ok('name' in wrong.structuredContent.details);
    });

    test('an unknown tool is an error of the protocol', async (t) => {
      const client = await connect(t, await serve(t));
      await assert.rejects(client.callTool({ name: 'volant.vms.fly' }), { code: -32602 });
    });

    test('reads VMs, deployments and events', async (t) => {
      const served = await serve(t);
      const client = await connect(t, served);
      await served.engine.deployments.create({
        name: 'web',
        replicas: 1,
        config: { plugin: 'hello' },
      });
      const { resources } = await client.listResources();
      assert.deepEqual(
        resources.map(({ uri }: Json) => uri),
        ['volant://events', 'deployment://web', 'vm://one', 'vm://web-1'],
      );
      const { resourceTemplates } = await client.listResourceTemplates();
      assert.deepEqual(
        resourceTemplates.map(({ uriTemplate }: Json) => uriTemplate),
        ['vm://{name}', 'deployment://{name}', 'volant://events?after={seq}'],
      );
      const read = async (uri: string) => {
        const { contents } = await client.readResource({ uri });
        assert.equal(contents[0].uri, uri);
        return JSON.parse(contents[0].text);
      };
      for (const { uri } of resources) assert.equal(typeof (await read(uri)), 'object');
      assert.equal((await read('vm://one')).name, 'one');
      assert.deepEqual((await read('deployment://web')).replicas, ['web-1']);
      const { events, next_after } = await read('volant://events?after=1');
      assert.equal(events[0].sequence, 2);
      assert.deepEqual((await read(`volant://events?after=${next_after}`)).events, []);
      await assert.rejects(client.readResource({ uri: 'vm://none' }));
    });

    test('turns the pages of a long list of resources', async (t) => {
      const served = await serve(t);
      const client = await connect(t, served);
      const names = Array.from({ length: 150 }, (_, index) => `many-${index}`);
      await Promise.all(names.map((name) => served.engine.vms.create({ name, plugin: 'hello' })));
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await client.listResources(cursor === undefined ? undefined : { cursor });
        seen.push(...page.resources.map(({ uri }: Json) => uri));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      assert.equal(seen.length, new Set(seen).size);
      assert.equal(seen.length, names.length + 2);
    });
  });
}

suite('subscriptions of the client of 2026-07-28', () => {
  test('speaks the current revision', async (t) => {
    const client = await modernClient(t, await serve(t));
    assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
  });

  test('is notified of what changes, and reads what it missed', async (t) => {
    const served = await serve(t);
    const client = await modernClient(t, served);
    const updated: string[] = [];
    let listChanges = 0;
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      updated.push(params.uri);
    });
    client.setNotificationHandler('notifications/resources/list_changed', () => {
      listChanges += 1;
    });
    const subscription = await inTime(
      client.listen({
        toolsListChanged: true,
        resourcesListChanged: true,
        resourceSubscriptions: ['vm://one', 'volant://events', 'file:///etc/passwd'],
      }),
      'the acknowledgement',
    );
    assert.deepEqual(subscription.honoredFilter, {
      resourcesListChanged: true,
      resourceSubscriptions: ['vm://one', 'volant://events'],
    });
    const before = served.engine.events.lastSequence();
    await served.engine.vms.stop('one');
    await eventually(() => updated.includes('vm://one'), 'news of the VM');
    assert.equal(listChanges, 0);
    await eventually(() => updated.some((uri) => uri.startsWith('volant://')), 'news of the log');
    const [events = ''] = updated.filter((uri) => uri.startsWith('volant://'));
    assert.equal(events, `volant://events?after=${before}`);
    const { contents } = await client.readResource({ uri: events });
    const { text } = contents[0] as { text: string };
    assert.equal(JSON.parse(text).events[0].type, 'VM_STOPPING');

    await served.engine.vms.destroy('one');
    await eventually(() => listChanges > 0, 'news of the list');
    await subscription.close();
  });

  test('is notified when the daemon ends the stream', async (t) => {
    const served = await serve(t);
    const client = await modernClient(t, served);
    const subscription = await client.listen({ resourcesListChanged: true });
    const drained = served.server.drain(60_000);
    assert.equal(await inTime(subscription.closed, 'the end of the stream'), 'graceful');
    await inTime(drained, 'the end of the server');
  });
});
