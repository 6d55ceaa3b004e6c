'use strict';
module.exports = { versions: [require('react').version, require('react18').version] };
