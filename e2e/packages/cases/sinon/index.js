const sinon = require('sinon');
module.exports = async () => {
  const f = sinon.spy();
  f(1, 2);
  const clock = sinon.useFakeTimers(0);
  let at = 0;
  setTimeout(() => { at = Date.now(); }, 5000);
  clock.tick(6000);
  clock.restore();
  const s = sinon.stub().onSecondCall().returns('second');
  s();
  return { calls: f.args, clock: at, stub: s() };
};
