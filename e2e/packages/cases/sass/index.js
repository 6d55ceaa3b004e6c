const sass = require('sass');
module.exports = async () => sass.compileString('@use "sass:color"; @mixin w($n) { width: $n * 10px } .a { .b { @include w(3); color: color.adjust(#f00, $lightness: -10%) } }').css.replace('#cc0000', 'rgb(204, 0, 0)');
