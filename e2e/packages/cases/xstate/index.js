const { createMachine, createActor, assign, fromPromise } = require('xstate');
module.exports = async () => {
  const m = createMachine({ initial: 'idle', context: { n: 0 }, states: {
    idle: { on: { GO: { target: 'loading', actions: assign({ n: ({ context }) => context.n + 1 }) } } },
    loading: { invoke: { src: fromPromise(async () => 'x'), onDone: 'done' } }, done: { type: 'final' },
  } });
  const states = [], actor = createActor(m);
  actor.subscribe(s => states.at(-1) === s.value || states.push(s.value));
  const end = new Promise(r => actor.subscribe({ complete: r }));
  actor.start();
  actor.send({ type: 'GO' });
  await end;
  return { states, n: actor.getSnapshot().context.n };
};
