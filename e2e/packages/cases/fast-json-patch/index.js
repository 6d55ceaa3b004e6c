const p = require('fast-json-patch');
module.exports = async () => {
  let test;
  try { p.applyPatch({ baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }]); } catch (e) { test = e.name; }
  return { moved: p.applyPatch({ foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } }, [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }]).newDocument, diff: p.compare({ a: 1 }, { a: 2 }), test };
};
