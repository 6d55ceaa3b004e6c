'use strict';
module.exports = { versions: [require('lodash').VERSION, require('lodash3').VERSION], scoped: require('@me/semver').valid('1.2.3') };
