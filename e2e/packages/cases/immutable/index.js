const { Map, List, fromJS, is } = require('immutable');
module.exports = async () => {
  const m = fromJS({ a: { b: 1 }, c: [1, 2] });
  const n = m.setIn(['a', 'b'], 2);
  return { same: m.get('c') === n.get('c'), old: m.getIn(['a', 'b']), new: n.toJS(), equal: is(Map({ x: List([1]) }), Map({ x: List([1]) })) };
};
