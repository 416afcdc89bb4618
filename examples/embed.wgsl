// What the host draws itself: a triangle that turns, and a quad that shows the pictures enlarged.

struct Scene {
  size: vec2<f32>, // the frame's width and height, in pixels
  corner: vec2<f32>, // the quad's top left corner, in pixels
  scale: f32, // pixels of the frame per texel of the pictures
  angle: f32, // the angle of the triangle, in radians
}

@group(0) @binding(0) var<uniform> scene: Scene;
@group(0) @binding(1) var pictures: texture_2d<f32>;

struct Corner {
  @builtin(position) at: vec4<f32>,
  @location(0) colour: vec3<f32>,
}

// Converts a place, in pixels from the top left corner, to clip space.
fn place(pixel: vec2<f32>) -> vec4<f32> {
  let unit = pixel / scene.size;
  return vec4<f32>(2.0 * unit.x - 1.0, 1.0 - 2.0 * unit.y, 0.0, 1.0);
}

@vertex
fn triangle(@builtin(vertex_index) i: u32) -> Corner {
  let turn = scene.angle + f32(i) * 2.0943951;
  let centre = vec2<f32>(0.5 * scene.corner.x, 0.5 * scene.size.y);
  let hue = vec3<f32>(f32(i == 0u), f32(i == 1u), f32(i == 2u));
  return Corner(place(centre + 0.4 * scene.corner.x * vec2<f32>(sin(turn), -cos(turn))), 0.15 + 0.85 * hue);
}

@fragment
fn paint(corner: Corner) -> @location(0) vec4<f32> {
  return vec4<f32>(corner.colour, 1.0);
}

@vertex
fn quad(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
  let side = scene.scale * vec2<f32>(textureDimensions(pictures));
  return place(scene.corner + side * vec2<f32>(f32(i & 1u), f32(i >> 1u)));
}

@fragment
fn show(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
  return textureLoad(pictures, vec2<u32>((at.xy - scene.corner) / scene.scale), 0);
}
