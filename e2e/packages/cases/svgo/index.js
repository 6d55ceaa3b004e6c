const { optimize } = require('svgo');
module.exports = async () => optimize('<!-- x --><svg xmlns="http://www.w3.org/2000/svg"><metadata>m</metadata><g><rect x="0.000" width="10" height="10" fill="#ff0000"/></g></svg>').data;
