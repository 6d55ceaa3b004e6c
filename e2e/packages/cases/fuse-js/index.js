const Fuse = require('fuse.js');
module.exports = async () => new Fuse([{ t: "Old Man's War" }, { t: 'The Lock Artist' }, { t: 'The Old Man and the Sea' }], { keys: ['t'], threshold: 0.2, ignoreLocation: true }).search('man and teh sea').map(r => r.item.t);
