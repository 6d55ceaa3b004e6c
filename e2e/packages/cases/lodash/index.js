const _ = require('lodash');
module.exports = async ctx => ({
  sums: _.mapValues(_.groupBy(ctx.body.rows, 'team'), rows => _.sumBy(rows, 'n')),
  camel: _.camelCase('--hello_world'),
  deep: _.flattenDeep([1, [2, [3, [4]]]]),
  merged: _.merge({ a: { x: 1 } }, { a: { y: 2 } }),
});
