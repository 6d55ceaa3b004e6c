const ivm = require('isolated-vm');
module.exports = async () => {
  const isolate = new ivm.Isolate({ memoryLimit: 16 });
  const context = await isolate.createContext();
  await context.global.set('add', new ivm.Callback((a, b) => a + b));
  const run = code => context.eval(code, { timeout: 50 });
  return { sum: await run('add(2, 3)'), noRequire: await run('typeof require'), timeout: await run('for (;;);').catch(e => e.message) };
};
