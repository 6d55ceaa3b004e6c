const { minimatch } = require('minimatch');
module.exports = async () => ({
  star: [minimatch('a/b/c.js', '**/*.js'), minimatch('.a', '*')],
  brace: minimatch.braceExpand('{a,b}.js'),
  neg: minimatch.match(['a', 'b'], '!a'),
  ext: minimatch.match(['ab', 'b', 'aab!'], '*(a)b'),
});
