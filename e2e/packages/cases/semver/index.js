const semver = require('semver');
module.exports = async () => ({
  max: semver.maxSatisfying(['1.2.3', '1.4.2', '2.0.0', '1.5.0-rc.1'], '^1.2'),
  sorted: semver.sort(['1.0.0', '1.0.0-beta', '1.0.0-alpha.1']),
  diff: semver.diff('1.2.3', '1.3.0'), inc: semver.inc('1.2.3', 'major'), coerce: semver.coerce('v4.6.3.9.2-alpha2').version,
});
