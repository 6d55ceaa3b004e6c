const P = require('bluebird');
module.exports = async () => {
  const disposed = [];
  const open = () => P.try(() => disposed.push('open')).disposer(() => disposed.push('close'));
  await P.using(open(), () => disposed.push('use'));
  return {
    props: await P.props({ a: P.resolve(1), b: 2 }),
    some: await P.some([P.delay(50, 'x'), P.delay(5, 'y'), 'z'], 2).then(v => [...v].sort()),
    timeout: await new P(() => {}).timeout(5).catch(e => e.name),
    disposed,
  };
};
