const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js');
const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
const { InMemoryTransport } = require('@modelcontextprotocol/sdk/inMemory.js');
const { z } = require('zod');
module.exports = async () => {
  const server = new McpServer({ name: 's', version: '1' });
  server.registerTool('add', { description: 'adds', inputSchema: { a: z.number(), b: z.number() } }, async ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }] }));
  const [x, y] = InMemoryTransport.createLinkedPair();
  const client = new Client({ name: 'c', version: '1' });
  await Promise.all([server.connect(x), client.connect(y)]);
  const call = args => client.callTool({ name: 'add', arguments: args });
  const bad = await call({ a: 'x', b: 1 }).then(r => r.isError, () => true);
  return { tools: (await client.listTools()).tools.map(t => t.name), sum: (await call({ a: 2, b: 3 })).content[0].text, bad };
};
